package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/sluice-go/sluice/internal/process"
)

var redisKind = &kind{name: "Redis", env: EnvRedis, prepare: prepareRedis}

// Redis returns a Redis. Tests share its database: keys need a prefix ([Name]).
func Redis(t testing.TB) *Server {
	t.Helper()
	return redisKind.get(t)
}

// OwnRedis returns a Redis of the test's own. It keeps its data when it is
// stopped and started.
func OwnRedis(t testing.TB) *Server {
	t.Helper()
	return redisKind.own(t)
}

func prepareRedis(context.Context) (*recipe, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errors.New("no redis-server on the PATH (on Debian and Ubuntu: apt-get install redis-server)")
	}
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sluice-redis-")
	if err != nil {
		return nil, err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	return inDir("redis://"+addr, process.Spec{
		Name: "Redis", Dir: dir,
		Args: []string{path, "--bind", "127.0.0.1", "--port", fmt.Sprint(port), "--dir", dir,
			"--save", "", "--appendonly", "yes", "--appendfsync", "no"},
		Healthy: answers(addr, "PING\r\n", "+PONG"),
	}), nil
}
