//go:build !linux

package cli

// Init does nothing if a container's process 1 cannot be this program.
func Init() (code int, was bool) { return 0, false }
