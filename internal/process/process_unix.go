//go:build unix

package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// A Process is a running server. Its methods may be called concurrently.
type Process struct {
	spec   Spec
	server *exec.Cmd
	guard  *exec.Cmd
	hold   *os.File // the guard's stdin: it ends when this process does; nil with an owner
	exited chan struct{}
	stop   sync.Once
}

// guard leads the server's process group. It waits for the end of the process
// that the server ends with, then ends the group, itself included. If that is
// the starting process, the guard reads from a pipe whose other end only that
// process has, so that the read ends when it does, even by kill -9. An owner,
// which has no such pipe, is looked for twice a second.
const guard = `trap '' TERM INT HUP
if [ "$2" -gt 0 ]; then
	while kill -0 "$2" 2>/dev/null; do sleep 0.5; done
else
	read _
fi
kill -TERM 0
sleep 5
[ -n "$1" ] && rm -rf "$1"
kill -KILL 0`

// Start starts the server and waits for its health.
func Start(ctx context.Context, s Spec) (*Process, error) {
	who, err := credential(s.User)
	if err != nil {
		return nil, err
	}
	if s.Port != 0 {
		if err := CheckPort(s.Port); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	log, err := os.OpenFile(filepath.Join(s.Dir, LogFile), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the children have their own
	p := &Process{spec: s, exited: make(chan struct{})}
	if err := p.startGuard(); err != nil {
		return nil, err
	}
	p.server = exec.Command(s.Args[0], s.Args[1:]...) //nolint:noctx // it outlives ctx, which bounds the start only
	p.server.Dir = s.Dir
	p.server.Env = append(os.Environ(), s.Env...)
	p.server.Stdout, p.server.Stderr = log, log
	p.server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: p.guard.Process.Pid, Credential: who}
	if err := p.server.Start(); err != nil {
		close(p.exited)
		return nil, errors.Join(fmt.Errorf("starting %s: %w", s.Name, err), p.Stop())
	}
	go func() {
		_ = p.server.Wait() // how it ended is in its log
		close(p.exited)
	}()
	if err := awaitHealth(ctx, s, p.exited); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

func (p *Process) startGuard() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	dir := ""
	if p.spec.RemoveDir {
		dir = p.spec.Dir
	}
	p.guard = exec.Command("/bin/sh", "-c", guard, "guard", dir, strconv.Itoa(p.spec.Owner)) //nolint:noctx // it must outlive everything
	p.guard.Dir = "/"
	if p.spec.Owner == 0 {
		p.guard.Stdin = r
	}
	p.guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.guard.Start(); err != nil {
		return errors.Join(fmt.Errorf("starting the guard of %s: %w", p.spec.Name, err), w.Close())
	}
	if p.spec.Owner != 0 {
		return w.Close()
	}
	p.hold = w
	return nil
}

// Stop asks the server to end, and ends its whole process group when it has or
// after a few seconds. A second call does nothing.
func (p *Process) Stop() error {
	var err error
	p.stop.Do(func() { err = p.end() })
	return err
}

func (p *Process) end() error {
	sig := syscall.SIGTERM
	if p.spec.Interrupt {
		sig = syscall.SIGINT
	}
	if p.server.Process != nil {
		_ = p.server.Process.Signal(sig) // it may have ended already
	}
	select {
	case <-p.exited:
	case <-time.After(5 * time.Second):
	}
	// The guard leads the group and has not been waited for, so the group's id
	// cannot be another's by now.
	err := syscall.Kill(-p.guard.Process.Pid, syscall.SIGKILL)
	_ = p.guard.Wait() // killed, as it should be
	<-p.exited
	if p.hold == nil {
		return err
	}
	return errors.Join(err, p.hold.Close())
}

// Run runs a command to its end, as s.User, in s.Dir.
func Run(ctx context.Context, s Spec) error {
	who, err := credential(s.User)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, s.Args[0], s.Args[1:]...)
	cmd.Dir = s.Dir
	cmd.Env = append(os.Environ(), s.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", s.Name, err, out[max(0, len(out)-2000):])
	}
	return nil
}

func credential(name string) (*syscall.Credential, error) {
	if name == "" {
		return nil, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
