package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"

	"google.golang.org/grpc"

	"github.com/sluice-go/sluice/internal/bench/fastpubsub"
)

// serveFlag has this program serve the fake of Pub/Sub instead of measuring: in
// a process of its own, whose processor time is not the client's.
const serveFlag = "-serve-pubsub"

// serve serves the fake on a free port, which it prints, until stdin ends: with
// the process that started it, however that ends.
func serve(stdin io.Reader, stdout io.Writer) error {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fake := fastpubsub.New()
	g := grpc.NewServer(grpc.MaxRecvMsgSize(64<<20), grpc.UnaryInterceptor(fake.Count))
	fake.Register(g)
	if _, err := fmt.Fprintln(stdout, l.Addr()); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, stdin) // whatever ends it, it is the end
		g.Stop()
	}()
	return g.Serve(l)
}

// spawn starts this program as the fake of Pub/Sub.
func spawn(ctx context.Context, exe string) (addr string, stop func() error, err error) {
	cmd := exec.CommandContext(ctx, exe, serveFlag)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() error { return errors.Join(stdin.Close(), cmd.Wait()) }
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("the fake of Pub/Sub: %w", err), stop())
	}
	return strings.TrimSpace(line), stop, nil
}
