//go:build !unix

package exechandler

import (
	"context"
	"log/slog"
	"os/exec"
)

// run runs a command. When ctx or now is done it is killed: no signal asks it to end.
func run(_, now context.Context, c *exec.Cmd, log *slog.Logger) error {
	if err := c.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(now, func() {
		if err := killGroup(c); err != nil {
			log.Debug("kill", "pid", c.Process.Pid, "error", err)
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
