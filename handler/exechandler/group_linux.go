package exechandler

import "syscall"

// processGroup starts a command in a new process group that ends with this
// process: a process killed with SIGKILL must not leave a command behind whose
// message is handled again.
func processGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
