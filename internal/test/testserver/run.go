package testserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-go/sluice/internal/install"
)

// A run is a process of the go command that runs tests. Its test binaries share
// servers, which end with it.
type run struct {
	pid   int
	start string // when it started: another process may have its ID one day
}

// currentRun returns the run that this process belongs to: its parent, if that
// is the go command.
func currentRun() (run, bool) {
	r := run{pid: os.Getppid()}
	name, start := describe(r.pid)
	r.start = start
	return r, name == "go" && start != ""
}

// describe returns the name of a process and the time it started, in a form that
// the names of files can have. It returns empty strings if there is no such
// process.
func describe(pid int) (name, start string) {
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
		// "123 (name) S 1 …": the name may contain parentheses, and the start is
		// the twentieth field after it.
		begin, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
		if begin < 0 || end < begin {
			return "", ""
		}
		fields := strings.Fields(string(b[end+1:]))
		if len(fields) < 20 {
			return "", ""
		}
		return string(b[begin+1 : end]), fields[19]
	}
	if _, err := os.Stat("/proc/self/stat"); err == nil {
		return "", "" // the process has ended
	}
	out, err := exec.CommandContext(context.Background(), "ps", "-o", "lstart=", "-o", "comm=", "-p", strconv.Itoa(pid)).Output()
	fields := strings.Fields(string(out)) // Mon Jan 2 15:04:05 2006 /usr/local/go/bin/go
	if err != nil || len(fields) < 6 {
		return "", ""
	}
	return filepath.Base(strings.Join(fields[5:], " ")), strings.ReplaceAll(strings.Join(fields[1:5], "_"), ":", "")
}

// alive reports whether the run has not ended.
func (r run) alive() bool {
	_, start := describe(r.pid)
	return start == r.start
}

// dir returns the directory, below root, in which the run's processes find its
// servers.
func (r run) dir(root string) string {
	return filepath.Join(root, fmt.Sprintf("%d-%s", r.pid, r.start))
}

// sweep removes what runs left below root that have ended.
func sweep(root string) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	for _, e := range entries {
		pid, start, _ := strings.Cut(e.Name(), "-")
		n, err := strconv.Atoi(pid)
		if err != nil || (run{pid: n, start: start}).alive() {
			continue
		}
		if err := os.RemoveAll(filepath.Join(root, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// server returns the run's server of a kind. The first process of the run that
// asks starts it; the others wait meanwhile. A process that dies gives the lock
// back, and a server that does not answer is replaced.
func (r run) server(ctx context.Context, k *kind) (_ *Server, err error) {
	root, err := install.Root()
	if err != nil {
		return nil, err
	}
	root = filepath.Join(root, "servers")
	dir := r.dir(root)
	if err := errors.Join(os.MkdirAll(dir, 0o755), sweep(root)); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, strings.ToLower(k.env))
	unlock, err := install.Lock(ctx, file+".lock")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if url, err := os.ReadFile(file); err == nil {
		s := &Server{URL: string(url), name: k.name}
		if conn, err := net.DialTimeout("tcp", s.Addr(), 5*time.Second); err == nil {
			return s, conn.Close()
		}
	}
	s, _, err := k.launch(ctx, r.pid)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, []byte(s.URL), 0o644); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return &Server{URL: s.URL, name: k.name}, nil
}

// say writes a line for the person who runs the go command. It shows nothing of what the
// tests of a package print, unless one fails; so the line goes to its standard error.
func (r run) say(format string, args ...any) {
	w, err := r.screen()
	if err != nil {
		return // nobody is there
	}
	_, _ = fmt.Fprintf(w, "sluice's tests: "+format+"\n", args...) // it may be gone by now
	_ = w.Close()
}

// screen opens the standard error of the run's go command if it is a terminal or a pipe,
// else the terminal.
func (r run) screen() (*os.File, error) {
	path := fmt.Sprintf("/proc/%d/fd/2", r.pid)
	if info, err := os.Stat(path); err == nil && info.Mode()&(os.ModeCharDevice|os.ModeNamedPipe) != 0 {
		if w, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil { // a full pipe must not stop tests
			return w, nil
		}
	}
	return os.OpenFile("/dev/tty", os.O_WRONLY, 0)
}

// once reports whether no process of the run has asked with this key before.
func (r run) once(key string) bool {
	root, err := install.Root()
	if err != nil {
		return false
	}
	dir := r.dir(filepath.Join(root, "servers"))
	if os.MkdirAll(dir, 0o755) != nil {
		return false
	}
	f, err := os.OpenFile(filepath.Join(dir, key), os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false
	}
	return f.Close() == nil
}
