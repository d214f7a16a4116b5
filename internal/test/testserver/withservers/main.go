// Command withservers runs a command with the servers that tests need, started
// once for all of it and ended with it:
//
//	go run ./internal/test/testserver/withservers go test ./...
//
// It sets the environment variables that package testserver reads. Its exit code
// is the command's. A server that cannot be had is an error, unless -optional is
// given; then the tests decide.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-go/sluice/internal/test/testserver"
)

func main() {
	names := flag.String("servers", strings.Join(testserver.Kinds(), ","), "which servers")
	optional := flag.Bool("optional", false, "go on without a server that cannot be had")
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process
	code, err := run(ctx, strings.Split(*names, ","), *optional, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "withservers:", err)
	}
	os.Exit(code)
}

func run(ctx context.Context, names []string, optional bool, args []string) (code int, err error) {
	env := os.Environ()
	for _, name := range names {
		s, variable, lerr := testserver.Launch(ctx, name)
		switch {
		case lerr == nil:
			defer func() { err = errors.Join(err, s.Close()) }()
			env = append(env, variable+"="+s.URL)
			fmt.Fprintf(os.Stderr, "withservers: %s=%s\n", variable, s.URL)
		case optional:
			fmt.Fprintf(os.Stderr, "withservers: going on without %s: %v\n", name, lerr)
		default:
			return 1, fmt.Errorf("%s: %w", name, lerr)
		}
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 15 * time.Second // then it is killed
	cmd.Env = env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}
