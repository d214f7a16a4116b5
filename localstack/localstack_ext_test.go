package localstack_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/internal/process"
	"github.com/sluice-go/sluice/internal/test/suite"
	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/localstack"
)

func TestStartAndStop(t *testing.T) {
	suite.Slow(t)
	testserver.Python(t) // or the reason why there can be no LocalStack
	s, err := localstack.Start(t.Context(), &localstack.Config{Services: []string{"sqs"}})
	require.NoError(t, err)
	health := process.HTTP(s.URL + "/_localstack/health")
	require.NoError(t, health(t.Context()))
	require.NoError(t, s.Stop())
	require.Error(t, health(t.Context()))
	require.NoError(t, s.Stop(), "a second time")
}

func TestPortThatIsTaken(t *testing.T) {
	testserver.Python(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	_, err = localstack.Start(t.Context(), &localstack.Config{Port: l.Addr().(*net.TCPAddr).Port})
	require.ErrorContains(t, err, "is taken")
}

// By hand, as the README says: start leaves it running, stop ends it.
func TestByHand(t *testing.T) {
	suite.Slow(t)
	testserver.Python(t)
	command := build(t)
	port, err := process.FreePort()
	require.NoError(t, err)
	at := "127.0.0.1:" + strconv.Itoa(port)
	run := func(code int, args ...string) string {
		t.Helper()
		var out bytes.Buffer
		cmd := exec.CommandContext(context.Background(), command, append(args, "-port", strconv.Itoa(port))...)
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		require.Equal(t, code, cmd.ProcessState.ExitCode(), "%v: %s", err, out.String())
		return out.String()
	}
	require.Contains(t, run(1, "status"), "not running at http://"+at)
	require.Contains(t, run(0, "stop"), "not running")
	t.Cleanup(func() { require.Contains(t, run(0, "stop"), "running") })
	require.Contains(t, run(0, "start"), "LocalStack "+localstack.Version+" runs at http://"+at)
	require.Contains(t, run(0, "start"), "already running")
	require.Contains(t, run(1, "start", "-services", "sqs,dynamodb"), "is without dynamodb: stop it first")
	require.Contains(t, run(0, "status"), "running at http://"+at+" (process ")
	require.Contains(t, run(0, "env"), "export AWS_ENDPOINT_URL=http://"+at+"\n")
	require.Contains(t, run(0, "stop"), "stopped")
	require.Contains(t, run(1, "status"), "not running")
}

// The flags by which nothing is started.
func TestUsage(t *testing.T) {
	command := build(t)
	taken, err := sqstest.NewServer(nil) // as sluice dev has one
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, taken.Close()) })
	_, port, err := net.SplitHostPort(strings.TrimPrefix(taken.URL(), "http://"))
	require.NoError(t, err)
	for _, c := range []struct {
		code int
		args []string
		said string
	}{
		{0, []string{"-h"}, "usage: localstack COMMAND"},
		{0, []string{"start", "-help"}, "-services A,B"},
		{2, nil, "no command"},
		{2, []string{"restart"}, `unknown command "restart"`},
		{2, []string{"start", "4567"}, `unexpected argument "4567" after "start"`},
		{2, []string{"start", "-port", "0"}, "between 1 and 65535"},
		{2, []string{"-port", "70000", "env"}, "between 1 and 65535"},
		{2, []string{"start", "-services", ""}, "give the names of services"},
		{2, []string{"env", "-services", "sqs"}, "-services goes with start, not with env"},
		{2, []string{"start", "-prot", "1"}, "flag provided but not defined: -prot"},
		{0, []string{"env", "-port", "4567"}, "export AWS_ENDPOINT_URL=http://127.0.0.1:4567\n"},
		{0, []string{"--port=4568", "env"}, "export AWS_ENDPOINT_URL_SQS=http://127.0.0.1:4568\n"},
		{1, []string{"status", "-port", port}, "the SQS server of sluice dev answers at " + taken.URL()},
		{1, []string{"start", "-port", port}, "the SQS server of sluice dev answers at " + taken.URL() + ", not LocalStack; -port N chooses another port"},
		{1, []string{"stop", "-port", port}, "the SQS server of sluice dev answers at " + taken.URL()},
	} {
		cmd := exec.CommandContext(t.Context(), command, c.args...)
		cmd.Env = append(os.Environ(), "SLUICE_CACHE_DIR="+t.TempDir())
		out, err := cmd.CombinedOutput()
		require.Equal(t, c.code, cmd.ProcessState.ExitCode(), "%v: %v: %s", c.args, err, out)
		require.Contains(t, string(out), c.said, "%v", c.args)
	}
}

func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "localstack")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./cmd/localstack").CombinedOutput()
	require.NoError(t, err, string(out))
	return path
}
