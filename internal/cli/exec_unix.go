//go:build unix

package cli

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// run runs a command in a process group of its own. When ctx is done the group
// gets SIGTERM, and SIGKILL after killGrace; when h.now is done, SIGKILL at
// once.
func (h *execHandler) run(ctx context.Context, c *exec.Cmd) error {
	c.SysProcAttr = processGroup()
	c.Cancel = func() error { return signalGroup(c, syscall.SIGTERM) }

	// Where the kernel ends the command with its parent, it takes the thread
	// that started it for the parent.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := c.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(h.now, func() {
		if err := signalGroup(c, syscall.SIGKILL); err != nil {
			h.log.Debug("kill", "pid", c.Process.Pid, "error", err)
		}
	})
	defer stop()
	err := c.Wait()
	if ctx.Err() != nil {
		// Wait kills the command itself; others of the group are left.
		if err := signalGroup(c, syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
			h.log.Debug("kill", "pid", c.Process.Pid, "error", err)
		}
	}
	return err
}

// signalGroup signals a command and what it has started.
func signalGroup(c *exec.Cmd, s syscall.Signal) error {
	err := syscall.Kill(-c.Process.Pid, s)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}
