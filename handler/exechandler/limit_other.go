//go:build !linux

package exechandler

// argumentLimit is how many bytes the arguments and the environment of a command may
// take: what the BSDs allow, of which macOS allows more.
func argumentLimit() int { return 256 << 10 }
