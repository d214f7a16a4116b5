//go:build unix

package exechandler

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asWorker has the test binary be a worker.
const asWorker = "SLUICE_TEST_WORKER"

func TestMain(m *testing.M) {
	if os.Getenv(asWorker) != "" {
		work(os.Args[1:])
		return
	}
	os.Exit(m.Run())
}

// work is a worker whose messages say what it does: the body is a program of one
// word and its argument. args are what it does before the first.
func work(args []string) {
	for _, a := range args {
		do("", a)
	}
	in := bufio.NewReader(os.Stdin)
	for {
		text, err := in.ReadBytes('\n')
		if err != nil {
			break
		}
		var m struct {
			ID   string `json:"id"`
			Body string `json:"body"`
		}
		if err := json.Unmarshal(text, &m); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		do(m.ID, m.Body)
	}
	if file := os.Getenv("AT_END"); file != "" {
		_ = os.WriteFile(file, nil, 0o600)
	}
	if os.Getenv("LINGER") != "" {
		forever()
	}
}

func do(id, command string) {
	word, rest, _ := strings.Cut(command, " ")
	switch word {
	case "pid":
		fmt.Printf("{\"verdict\":\"reject\",\"error\":\"%d\",\"id\":%q}\n", os.Getpid(), id)
	case "say":
		fmt.Println(rest)
	case "warn":
		fmt.Fprintln(os.Stderr, rest)
	case "fail":
		fmt.Fprintln(os.Stderr, rest)
		os.Exit(1)
	case "orphan", "child": // ends, and leaves a process that holds its output open
		c := exec.CommandContext(context.Background(), os.Args[0], "hang "+rest)
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: word == "orphan"}
		if err := c.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		for _, err := os.Stat(rest); err != nil; _, err = os.Stat(rest) {
			runtime.Gosched()
		}
		os.Exit(1)
	case "leave":
		fmt.Printf("{\"verdict\":\"ack\",\"id\":%q}\n", id)
		os.Exit(0)
	case "die":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		forever()
	case "hang":
		writeWhole(rest, fmt.Sprint(os.Getpid()))
		forever()
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
		writeWhole(rest, fmt.Sprint(os.Getpid()))
		forever()
	case "finish": // answers once it is asked to end
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		_ = os.WriteFile(rest, nil, 0o600)
		<-c
		fmt.Printf("{\"verdict\":\"ack\",\"id\":%q}\n", id)
	case "close": // but does not end
		_ = os.Stdout.Close()
		forever()
	case "noise":
		noise := []byte(strings.Repeat("noise ", 10000))
		for {
			if _, err := os.Stdout.Write(noise); err != nil {
				os.Exit(4)
			}
		}
	default:
		fmt.Printf("{\"verdict\":\"ack\",\"id\":%q}\n", id)
	}
}

// forever does not return. An empty select would: without cgo, Go takes a program
// in which no goroutine can run any more for deadlocked, and ends it.
func forever() { <-time.After(24 * time.Hour) }

// writeWhole makes a file that is never seen without its content.
func writeWhole(name, content string) {
	_ = os.WriteFile(name+".new", []byte(content), 0o600)
	_ = os.Rename(name+".new", name)
}
