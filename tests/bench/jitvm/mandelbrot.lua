-- SPDX-License-Identifier: Apache-2.0
-- Steps until each of n by n points escapes, 50 at most: a loop of floats with an exit.
local function run(n)
    local sum = 0
    for row = 0, n - 1 do
        local ci = 2.0 * row / n - 1.0
        for column = 0, n - 1 do
            local cr = 2.0 * column / n - 1.5
            local zr, zi, steps = 0.0, 0.0, 0
            while steps < 50 do
                local rr, ii = zr * zr, zi * zi
                if rr + ii > 4.0 then break end
                zi = 2.0 * zr * zi + ci
                zr = rr - ii + cr
                steps = steps + 1
            end
            sum = sum + steps
        end
    end
    return sum
end

io.write("mandelbrot ", run(tonumber(arg[1]) or 1200), "\n")
