package allowlist

// Decode is open to the tests, so that fuzzing needn't write a file first.
var Decode = decode
