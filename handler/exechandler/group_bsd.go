//go:build unix && !linux

package exechandler

import "syscall"

// processGroup starts a command in a new process group.
func processGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
