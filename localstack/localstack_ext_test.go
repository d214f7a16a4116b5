package localstack_test

import (
	"bytes"
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

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
		cmd := exec.CommandContext(context.Background(), command, append([]string{"-port", strconv.Itoa(port)}, args...)...)
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
	require.Contains(t, run(0, "status"), "running at http://"+at+" (process ")
	require.Contains(t, run(0, "env"), "export AWS_ENDPOINT_URL=http://"+at+"\n")
	require.Contains(t, run(0, "stop"), "stopped")
	require.Contains(t, run(1, "status"), "not running")
	require.Contains(t, run(2, "restart"), "usage:")
}

func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "localstack")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./cmd/localstack").CombinedOutput()
	require.NoError(t, err, string(out))
	return path
}
