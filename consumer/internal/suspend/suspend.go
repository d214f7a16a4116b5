// Package suspend measures for how long the machine was suspended. A lease from a
// remote provider runs down meanwhile, but Go's monotonic clock stands still on
// Linux and on macOS, so a deadline by that clock is too late afterwards. The wall clock can't distinguish a suspend from a step.
package suspend

import "time"

// Total returns for how long the machine was suspended since it was started. It
// returns zero on systems other than Linux, which have no such clock that Go can
// read.
func Total() time.Duration { return total() }
