-- SPDX-License-Identifier: Apache-2.0
-- The product of two n by n matrices: arrays of arrays of floats.
local function matrix(n, seed)
    local rows = {}
    for i = 0, n - 1 do
        local row = {}
        for j = 0, n - 1 do
            row[j] = (i * seed + j * 7) % 17 / 8.0 - 1.0
        end
        rows[i] = row
    end
    return rows
end

local function run(n)
    local a, b, c = matrix(n, 3), matrix(n, 5), matrix(n, 1)
    for i = 0, n - 1 do
        for j = 0, n - 1 do
            local sum = 0.0
            for k = 0, n - 1 do
                sum = sum + a[i][k] * b[k][j]
            end
            c[i][j] = sum
        end
    end
    local check = 0.0
    for i = 0, n - 1 do
        check = check + (c[i][i] + c[i][n - 1 - i] * 0.5)
    end
    return string.format("%.9f", check)
end

io.write("matmul ", run(tonumber(arg[1]) or 300), "\n")
