-- SPDX-License-Identifier: Apache-2.0
-- n short lines made piece by piece, joined, and summed up byte by byte.
local function line_of(i)
    local line = ""
    for j = 0, 9 do
        line = line .. (i * 7 + j * j) % 1000
        line = line .. ","
    end
    return line
end

local function run(n)
    local lines = {}
    for i = 0, n - 1 do
        lines[#lines + 1] = line_of(i)
    end
    local text = table.concat(lines, "\n")
    local sum = 0
    for i = 1, #text do
        sum = (sum * 31 + text:sub(i, i):byte()) % 1000003
    end
    return #text .. " " .. sum
end

io.write("string_building ", run(tonumber(arg[1]) or 150000), "\n")
