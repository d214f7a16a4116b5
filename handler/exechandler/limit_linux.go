package exechandler

import "syscall"

// argumentLimit is how many bytes the arguments and the environment of a command may
// take: a quarter of the limit of the stack, but 128 KiB at least and 6 MiB at most
// (execve(2)).
func argumentLimit() int {
	const least, most = 128 << 10, 6 << 20
	var stack syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_STACK, &stack); err != nil {
		return least
	}
	return int(min(max(stack.Cur/4, least), most))
}
