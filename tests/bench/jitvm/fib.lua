-- SPDX-License-Identifier: Apache-2.0
-- The n-th Fibonacci number, by calls alone.
local function fib(n)
    if n < 2 then return n end
    return fib(n - 1) + fib(n - 2)
end

local function run(n)
    return fib(n)
end

io.write("fib ", run(tonumber(arg[1]) or 35), "\n")
