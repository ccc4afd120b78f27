# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034 # used by those who read this file
# The programs of tests/bench/jitvm, NAME:N: each is over at once, and all that is compiled at a larger
# n is compiled.
readonly jit_small=(fib:15 ackermann:5 sieve:20000 nbody:2000 spectral_norm:30 mandelbrot:60 matmul:40
    fannkuch:7 string_building:600 hash_counting:20000)
