//go:build unix

// Command localstack starts and stops the project's LocalStack by hand.
//
//	localstack install | start | stop | status | env [-port 4566] [-services sqs,s3]
//
// Flags may also come before the command. start returns once it is healthy and leaves
// it running; stop ends it. env prints the environment variables that a program needs,
// for eval. Several may run, each on its port.
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

const usage = `usage: localstack COMMAND [-port N] [-services sqs,s3,…]

  install   install LocalStack, and print its Python
  start     start it on 127.0.0.1, and wait until it is healthy
  stop      end the one that start has started
  status    report what runs at the port; the exit status is 1 if it is not LocalStack
  env       print the environment variables for programs, for eval

  -port N          the port of start, stop, status and env (default 4566)
  -services A,B    the AWS services of start (default ` + localstack.DefaultServices + `)`

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
	o, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, _ = fmt.Fprintln(stdout, usage)
		return 0
	case err != nil:
		_, _ = fmt.Fprintf(stderr, "localstack: %v\n%s\n", err, usage)
		return exitUsage
	}
	d := daemon{port: o.port, services: o.services, out: stdout}
	command, ok := map[string]func(context.Context) error{
		"install": d.install, "start": d.start, "stop": d.stop, "status": d.status, "env": d.env,
	}[o.command]
	if !ok {
		_, _ = fmt.Fprintf(stderr, "localstack: unknown command %q\n%s\n", o.command, usage)
		return exitUsage
	}
	if err := command(ctx); err != nil {
		_, _ = fmt.Fprintln(stderr, "localstack:", err)
		return exitFailed
	}
	return 0
}

// options are what the arguments say.
type options struct {
	command  string
	port     int
	services []string
}

// parse reads the arguments. Flags may come before and after the command.
func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("localstack", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	flags.IntVar(&o.port, "port", 4566, "")
	services := flags.String("services", localstack.DefaultServices, "")
	var words []string
	for rest := args; ; {
		if err := flags.Parse(rest); err != nil {
			return o, err
		}
		if flags.NArg() == 0 {
			break
		}
		words, rest = append(words, flags.Arg(0)), flags.Args()[1:]
	}
	switch {
	case len(words) == 0:
		return o, errors.New("no command")
	case len(words) > 1:
		return o, fmt.Errorf("unexpected argument %q after %q", words[1], words[0])
	case o.port < 1 || o.port > 65535:
		return o, fmt.Errorf("-port %d: a port is between 1 and 65535", o.port)
	}
	for name := range strings.SplitSeq(*services, ",") {
		if name = strings.TrimSpace(name); name == "" {
			return o, fmt.Errorf("-services %q: give the names of services, separated by commas", *services)
		}
		o.services = append(o.services, name)
	}
	flags.Visit(func(f *flag.Flag) {
		if f.Name == "services" && words[0] != "start" {
			err = fmt.Errorf("-services goes with start, not with %s", words[0])
		}
	})
	o.command = words[0]
	return o, err
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

func (d daemon) install(ctx context.Context) error {
	python, err := localstack.Install(ctx)
	if err == nil {
		_, err = fmt.Fprintln(d.out, python)
	}
	return err
}

func (d daemon) start(ctx context.Context) error {
	running, missing, err := localstack.Running(ctx, d.url(), d.services...)
	switch {
	case err != nil:
		return fmt.Errorf("%w; -port N chooses another port", err)
	case len(missing) > 0:
		return fmt.Errorf("a LocalStack that runs at %s is without %s: stop it first, or choose another port with -port N", d.url(), strings.Join(missing, ", "))
	case running:
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
			// An error is that of a server that does not answer yet.
			if running, _, err := localstack.Running(ctx, d.url()); err == nil && running {
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

// commandLine returns the command line of the process, or "" if there is none.
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
		running, _, err := localstack.Running(ctx, d.url())
		switch {
		case err != nil:
			return err
		case running:
			return fmt.Errorf("the LocalStack at %s was not started by this command: end it where it was started", d.url())
		}
		_, err = fmt.Fprintf(d.out, "not running at %s\n", d.url())
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
	running, _, err := localstack.Running(ctx, d.url())
	switch {
	case err != nil:
		return err
	case !running:
		return fmt.Errorf("not running at %s", d.url())
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
