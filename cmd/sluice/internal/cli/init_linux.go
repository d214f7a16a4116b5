package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Init does the duties of process 1, if this process is that: it runs the program
// again as its child, passes signals on to it, and reaps the processes that commands
// have left behind, which process 1 inherits. It returns the status to exit with,
// and whether it was process 1.
func Init() (code int, was bool) {
	if os.Getpid() != 1 {
		return 0, false
	}
	code, err := runInit()
	if err != nil {
		// Without an init of its own the program runs all the same.
		_, _ = fmt.Fprintf(os.Stderr, "sluice: as process 1: %v; what commands leave behind is not reaped\n", err)
		return 0, false
	}
	return code, true
}

func runInit() (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	// All of them, since the child decides what each of them means. SIGCHLD says
	// nothing that wait does not; SIGURG is the Go runtime's own; SIGPIPE,
	// SIGTTIN and SIGTTOU are about this process.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals)
	child := exec.Command(self, os.Args[1:]...) //nolint:noctx,gosec // it is this program, and ends by signals
	child.Args[0] = os.Args[0]
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	// A group of its own, or a terminal's SIGINT would reach it twice: from the
	// terminal and from here.
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if _, err := unix.IoctlGetInt(0, unix.TIOCGPGRP); err == nil {
		child.SysProcAttr.Foreground, child.SysProcAttr.Ctty = true, 0
	}
	if err := child.Start(); err != nil {
		return 0, err
	}
	pid := child.Process.Pid
	go func() {
		for sig := range signals {
			switch sig {
			case syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPIPE, syscall.SIGTTIN, syscall.SIGTTOU:
				continue
			}
			if s, ok := sig.(syscall.Signal); ok {
				_ = syscall.Kill(pid, s) // it may have ended
			}
		}
	}()
	return reap(pid)
}

// reap waits for children until the one with the given process ID has ended, and
// returns its status as a shell does.
func reap(pid int) (int, error) {
	for {
		var status syscall.WaitStatus
		ended, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return ExitFailed, fmt.Errorf("wait: %w", err)
		case ended != pid:
		case status.Exited():
			return status.ExitStatus(), nil
		case status.Signaled():
			return 128 + int(status.Signal()), nil
		}
	}
}
