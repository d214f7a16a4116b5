//go:build unix

package exechandler

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// run runs a command in a new process group. When ctx is done the group gets
// SIGTERM, and SIGKILL after the grace; when now is done, it gets SIGKILL
// immediately.
func run(ctx, now context.Context, c *exec.Cmd, log *slog.Logger) error {
	isolate(c)
	c.Cancel = func() error { return signalGroup(c, syscall.SIGTERM) }

	// If the kernel ends the command with its parent, it takes the thread
	// that started it for the parent.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := c.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(now, func() {
		if err := killGroup(c); err != nil {
			log.Debug("kill", "pid", c.Process.Pid, "error", err)
		}
	})
	defer stop()
	err := c.Wait()
	if ctx.Err() != nil {
		// Wait kills the command itself; others of the group are left.
		if err := killGroup(c); err != nil && !errors.Is(err, os.ErrProcessDone) {
			log.Debug("kill", "pid", c.Process.Pid, "error", err)
		}
	}
	return err
}

// isolate makes a command start in a new process group.
func isolate(c *exec.Cmd) { c.SysProcAttr = processGroup() }

// terminateGroup asks a command and its child processes to exit.
func terminateGroup(c *exec.Cmd) error { return signalGroup(c, syscall.SIGTERM) }

// killGroup kills a command and its child processes.
func killGroup(c *exec.Cmd) error { return signalGroup(c, syscall.SIGKILL) }

func signalGroup(c *exec.Cmd, s syscall.Signal) error {
	err := syscall.Kill(-c.Process.Pid, s)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}
