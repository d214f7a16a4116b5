// Package suspend tells for how long the machine was suspended. A lease that a
// remote provider gave runs down meanwhile, but Go's monotonic clock stands
// still, as it does on Linux and on macOS, so a deadline by that clock is too
// late afterwards. The wall clock can't tell a suspend from a step.
package suspend

import "time"

// Total returns for how long the machine was suspended since it was started. It
// is always zero on other systems than Linux, which have no clock for it that Go
// can read.
func Total() time.Duration { return total() }
