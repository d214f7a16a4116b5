//go:build unix

package pages

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience is how long a command may take.
const patience = 2 * time.Minute

// ended follows the output of a command that has ended, with its status.
var ended = regexp.MustCompile("\x01([0-9]+)\n")

// A terminal is a shell that commands are typed into. Its methods must not be called
// concurrently.
type terminal struct {
	shell *exec.Cmd
	stdin io.WriteCloser
	typed bool // a command, since the start

	mu     sync.Mutex
	screen strings.Builder // since the last command
}

// open starts a shell in dir.
func open(ctx context.Context, dir string, env []string) (*terminal, error) {
	t := &terminal{}
	t.shell = exec.CommandContext(ctx, "bash", "--norc", "--noprofile")
	t.shell.Dir, t.shell.Env = dir, env
	t.shell.Stdout, t.shell.Stderr = t, t
	t.shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	t.shell.WaitDelay = time.Second
	var err error
	if t.stdin, err = t.shell.StdinPipe(); err != nil {
		return nil, err
	}
	if err := t.shell.Start(); err != nil {
		return nil, err
	}
	// With job control each command is a process group, which ^C reaches alone; with
	// the trap the shell outlives it.
	_, err = io.WriteString(t.stdin, "set -m; trap : INT\n")
	return t, err
}

// Write appends to the screen.
func (t *terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.screen.Write(p)
}

// enter types a command, of one line or several, when the one before has ended.
func (t *terminal) enter(ctx context.Context, command string) error {
	if t.typed {
		if text, done, _ := t.await(ctx, nil); !done {
			return fmt.Errorf("the command before has not ended; it printed\n%s", text)
		}
	}
	t.typed = true
	t.mu.Lock()
	t.screen.Reset()
	t.mu.Unlock()
	_, err := fmt.Fprintf(t.stdin, "{ %s\n} </dev/null\nprintf '\\001%%d\\n' $?\n", command)
	return err
}

// output returns what the command has written so far, whether it has ended, and its
// status if so.
func (t *terminal) output() (text string, done bool, status int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text = t.screen.String()
	if m := ended.FindStringSubmatchIndex(text); m != nil {
		status, _ = strconv.Atoi(text[m[2]:m[3]])
		return text[:m[0]], true, status
	}
	return text, false, 0
}

// await returns the command's output when it has ended, or when enough says so.
func (t *terminal) await(ctx context.Context, enough func(text string) bool) (text string, done bool, status int) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		text, done, status = t.output()
		if done || enough != nil && enough(text) {
			return text, done, status
		}
		select {
		case <-ctx.Done():
			return text, false, 0
		case <-tick.C:
		}
	}
}

// interrupt sends SIGINT to the command that runs, as ^C does.
func (t *terminal) interrupt() error { return t.signal(syscall.SIGINT) }

func (t *terminal) signal(which syscall.Signal) error {
	pid := strconv.Itoa(t.shell.Process.Pid)
	children, err := os.ReadFile(filepath.Join("/proc", pid, "task", pid, "children"))
	if err != nil {
		return err
	}
	for child := range strings.FieldsSeq(string(children)) {
		group, err := strconv.Atoi(child)
		if err != nil {
			return err
		}
		if err := syscall.Kill(-group, which); err != nil {
			return err
		}
	}
	return nil
}

// close ends the command that runs, and the shell.
func (t *terminal) close() error {
	err := t.interrupt()
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		if _, done, _ := t.await(ctx, nil); !done {
			err = t.signal(syscall.SIGKILL)
		}
	}
	_ = t.stdin.Close()
	kill := time.AfterFunc(5*time.Second, func() { _ = t.shell.Process.Kill() })
	defer kill.Stop()
	_ = t.shell.Wait() // its status is that of the last command
	return err
}
