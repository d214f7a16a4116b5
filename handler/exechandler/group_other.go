//go:build !unix

package exechandler

import (
	"context"
	"os/exec"
)

// run runs a command. When ctx or h.now is done it is killed: there is no signal
// that asks it to end.
func (h *Handler) run(_ context.Context, c *exec.Cmd) error {
	if err := c.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(h.now, func() {
		if err := killGroup(c); err != nil {
			h.config.Logger.Debug("kill", "pid", c.Process.Pid, "error", err)
		}
	})
	defer stop()
	return c.Wait()
}

// isolate does nothing: there are no process groups.
func isolate(*exec.Cmd) {}

// terminateGroup ends a command: there is no signal that asks it to.
func terminateGroup(c *exec.Cmd) error { return c.Process.Kill() }

func killGroup(c *exec.Cmd) error { return c.Process.Kill() }
