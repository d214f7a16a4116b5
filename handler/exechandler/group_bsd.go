//go:build unix && !linux

package exechandler

import "syscall"

// processGroup starts a command in a process group of its own.
func processGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
