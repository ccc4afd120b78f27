-- SPDX-License-Identifier: Apache-2.0
-- Ackermann's function of 3 and 7, n times over: deep calls that depend on each other.
local function ackermann(m, n)
    if m == 0 then return n + 1 end
    if n == 0 then return (ackermann(m - 1, 1)) end
    return (ackermann(m - 1, ackermann(m, n - 1)))
end

local function run(n)
    local sum = 0
    for i = 0, n - 1 do
        sum = sum + ackermann(3, 7) + i
    end
    return sum
end

io.write("ackermann ", run(tonumber(arg[1]) or 50), "\n")
