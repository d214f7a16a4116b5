package exechandler

import "syscall"

// processGroup starts a command in a process group of its own, and has it end
// with this process: killed with SIGKILL, a worker must not leave a command
// behind whose message is handled again.
func processGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
