-- SPDX-License-Identifier: Apache-2.0
-- n words out of 5000 counted: a hash with text keys.
local function run(n)
    local words = {}
    for i = 0, 4999 do
        words[i] = "word" .. i * i
    end
    local counts, size = {}, 0
    local x = 42
    for _ = 1, n do
        x = (x * 3877 + 29573) % 139968
        local word = words[x % 5000]
        counts[word] = (counts[word] or 0) + 1
    end
    local most, squares = 0, 0
    for _, count in pairs(counts) do
        size = size + 1
        squares = squares + count * count % 1009
        if count > most then most = count end
    end
    return size .. " " .. most .. " " .. squares
end

io.write("hash_counting ", run(tonumber(arg[1]) or 8000000), "\n")
