-- SPDX-License-Identifier: Apache-2.0
-- All orders of n pancakes, and how many flips each needs: small arrays of ints.
local function run(n)
    local order, left, flipped = {}, {}, {}
    for i = 0, n - 1 do order[i], left[i], flipped[i] = i, 0, 0 end
    local most, check, sign, r = 0, 0, 1, n
    while true do
        while r > 1 do
            left[r - 1] = r
            r = r - 1
        end
        local first = order[0]
        if first > 0 then
            for i = 1, n - 1 do
                flipped[i] = order[i]
            end
            local flips = 1
            while true do
                local next = flipped[first]
                if next == 0 then break end
                flipped[first] = first
                local low, high = 1, first - 1
                while low < high do
                    local kept = flipped[low]
                    flipped[low] = flipped[high]
                    flipped[high] = kept
                    low = low + 1
                    high = high - 1
                end
                first = next
                flips = flips + 1
            end
            if flips > most then most = flips end
            check = check + sign * flips
        end
        -- The next order, and whether it is an even one.
        sign = -sign
        while true do
            if r == n then return check .. " " .. most end
            local bottom = order[0]
            for i = 0, r - 1 do
                order[i] = order[i + 1]
            end
            order[r] = bottom
            left[r] = left[r] - 1
            if left[r] > 0 then break end
            r = r + 1
        end
    end
end

io.write("fannkuch ", run(tonumber(arg[1]) or 10), "\n")
