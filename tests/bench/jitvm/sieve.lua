-- SPDX-License-Identifier: Apache-2.0
-- How many primes are below n, and their sum: one large array of ints.
local function run(n)
    local prime = {}
    for i = 0, n - 1 do prime[i] = 1 end
    local count, sum = 0, 0
    for i = 2, n - 1 do
        if prime[i] == 1 then
            count = count + 1
            sum = sum + i
            for j = i * i, n - 1, i do
                prime[j] = 0
            end
        end
    end
    return string.format("%d %.0f", count, sum)
end

io.write("sieve ", run(tonumber(arg[1]) or 12000000), "\n")
