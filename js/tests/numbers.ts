/** Numbers for the tests of arithmetic and of integers. */

/** Generate pseudo-random numbers, the same in each run of the tests. */
export function* generateNumbers(count: number): Generator<number> {
  let state = 0x2545f491;
  for (let index = 0; index < count; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    yield state >>> 0;
  }
}
