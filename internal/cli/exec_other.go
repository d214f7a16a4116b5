//go:build !unix

package cli

import (
	"context"
	"os/exec"
)

// run runs a command. When ctx or h.now is done it is killed: there is no signal
// that asks it to end.
func (h *execHandler) run(_ context.Context, c *exec.Cmd) error {
	if err := c.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(h.now, func() {
		if err := c.Process.Kill(); err != nil {
			h.log.Debug("kill", "pid", c.Process.Pid, "error", err)
		}
	})
	defer stop()
	return c.Wait()
}
