//go:build unix

// Command localstack starts and stops the project's LocalStack by hand.
//
//	localstack [-port 4566] install | start | stop | status | env
//
// start returns once it is healthy and leaves it running; stop ends it. env
// prints the environment variables that a program needs, for eval.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-go/sluice/internal/install"
	"github.com/sluice-go/sluice/internal/process"
	"github.com/sluice-go/sluice/localstack"
)

const usage = `usage: localstack [-port N] [-services sqs,s3,…] install | start | stop | status | env`

// The exit codes are those of the sluice command.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("localstack", flag.ContinueOnError)
	flags.SetOutput(stderr)
	port := flags.Int("port", 4566, "port on 127.0.0.1")
	services := flags.String("services", localstack.DefaultServices, "AWS services to run")
	flags.Usage = func() { _, _ = fmt.Fprintln(stderr, usage) }
	if err := flags.Parse(args); err != nil {
		return exitUsage
	}
	d := daemon{port: *port, services: strings.Split(*services, ","), out: stdout}
	commands := map[string]func(context.Context) error{
		"install": d.install, "start": d.start, "stop": d.stop, "status": d.status, "env": d.env,
	}
	command, ok := commands[flags.Arg(0)]
	if !ok || flags.NArg() != 1 {
		flags.Usage()
		return exitUsage
	}
	if err := command(ctx); err != nil {
		_, _ = fmt.Fprintln(stderr, "localstack:", err)
		return exitFailed
	}
	return 0
}

// daemon is a LocalStack that outlives the command. Its state is in
// files named by its port.
type daemon struct {
	port     int
	services []string
	out      io.Writer
}

func (d daemon) url() string { return "http://127.0.0.1:" + strconv.Itoa(d.port) }

func (d daemon) dir() (string, error) {
	root, err := install.Root()
	return filepath.Join(root, "localstack-"+strconv.Itoa(d.port)), err
}

func (d daemon) healthy(ctx context.Context) error {
	return process.HTTP(d.url() + "/_localstack/health")(ctx)
}

func (d daemon) install(ctx context.Context) error {
	python, err := localstack.Install(ctx)
	if err == nil {
		_, err = fmt.Fprintln(d.out, python)
	}
	return err
}

func (d daemon) start(ctx context.Context) error {
	if d.healthy(ctx) == nil {
		_, err := fmt.Fprintf(d.out, "already running at %s\n", d.url())
		return err
	}
	if err := process.CheckPort(d.port); err != nil {
		return fmt.Errorf("%w; -port N chooses another", err)
	}
	python, err := localstack.Install(ctx)
	if err != nil {
		return err
	}
	dir, err := d.dir()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, process.LogFile))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the child has its own
	args, env := localstack.Command(python, dir, d.port, d.services)
	cmd := exec.Command(args[0], args[1:]...) //nolint:noctx // it outlives this command
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	if err := os.WriteFile(filepath.Join(dir, "pid"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o644); err != nil {
		return errors.Join(err, cmd.Process.Kill())
	}
	if err := d.await(ctx, exited); err != nil {
		_ = cmd.Process.Kill() // it may have ended already
		return fmt.Errorf("%w; its log is %s", err, log.Name())
	}
	_, err = fmt.Fprintf(d.out, "LocalStack %s runs at %s (process %d)\n", localstack.Version, d.url(), cmd.Process.Pid)
	return err
}

// await waits until the daemon is healthy.
func (d daemon) await(ctx context.Context, exited <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, process.DefaultTimeout)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-exited:
			return fmt.Errorf("it ended while starting: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("it is not healthy: %w", ctx.Err())
		case <-tick.C:
			if d.healthy(ctx) == nil {
				return nil
			}
		}
	}
}

// pid returns the daemon's process id, 0 if it does not run. A process that
// got the id later is distinguished by its command line.
func (d daemon) pid(ctx context.Context) (int, error) {
	dir, err := d.dir()
	if err != nil {
		return 0, err
	}
	b, err := os.ReadFile(filepath.Join(dir, "pid"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("damaged pid file: %w", err)
	}
	if !strings.Contains(commandLine(ctx, pid), "localstack.runtime.main") {
		return 0, nil
	}
	return pid, nil
}

// commandLine returns what the process runs, empty if there is none.
func commandLine(ctx context.Context, pid int) string {
	if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil {
		return string(line)
	}
	line, err := exec.CommandContext(ctx, "ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return "" // that is how ps says so
	}
	return string(line)
}

func (d daemon) stop(ctx context.Context) error {
	pid, err := d.pid(ctx)
	if err != nil {
		return err
	}
	if pid == 0 {
		_, err := fmt.Fprintf(d.out, "not running at %s\n", d.url())
		return err
	}
	// It leads its own session, so its group is all of it.
	if err := syscall.Kill(-pid, syscall.SIGTERM); err != nil {
		return err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	patience, how := time.After(10*time.Second), ""
	for {
		if now, err := d.pid(ctx); err != nil || now == 0 {
			_, perr := fmt.Fprintf(d.out, "stopped %s%s\n", d.url(), how)
			return errors.Join(err, perr, d.clean())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-patience:
			how = ", which did not end within 10 s of SIGTERM and was killed"
			if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		case <-tick.C:
		}
	}
}

// clean removes the daemon's files. It held its data in memory.
func (d daemon) clean() error {
	dir, err := d.dir()
	if err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

func (d daemon) status(ctx context.Context) error {
	if err := d.healthy(ctx); err != nil {
		return fmt.Errorf("not running at %s: %w", d.url(), err)
	}
	pid, err := d.pid(ctx)
	if err != nil {
		return err
	}
	if pid == 0 {
		_, err = fmt.Fprintf(d.out, "running at %s, not started by this command\n", d.url())
		return err
	}
	_, err = fmt.Fprintf(d.out, "running at %s (process %d)\n", d.url(), pid)
	return err
}

func (d daemon) env(context.Context) error {
	for _, v := range localstack.Environment(d.url()) {
		if _, err := fmt.Fprintf(d.out, "export %s\n", v); err != nil {
			return err
		}
	}
	return nil
}
