package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sluice-go/sluice/internal/process"
)

var rabbitMQKind = &kind{name: "RabbitMQ", env: EnvRabbitMQ, slow: true, prepare: prepareRabbitMQ}

// RabbitMQ returns a RabbitMQ. Tests share its virtual host: exchanges and
// queues need names of their own ([Name]).
func RabbitMQ(t testing.TB) *Server {
	t.Helper()
	return rabbitMQKind.get(t)
}

// rabbitMQ finds the server's own script: what Debian puts on the PATH wraps it
// and runs as the package's user only. The script needs Erlang on the PATH.
func rabbitMQ() (string, error) {
	const hint = "(on Debian and Ubuntu: apt-get install rabbitmq-server)"
	for _, path := range []string{"/usr/lib/rabbitmq/bin/rabbitmq-server", "/opt/homebrew/sbin/rabbitmq-server", "/usr/local/sbin/rabbitmq-server"} {
		if _, err := os.Stat(path); err != nil || pathOnly() {
			continue
		}
		for _, program := range []string{"erl", "epmd"} {
			if _, err := exec.LookPath(program); err != nil {
				return "", fmt.Errorf("RabbitMQ is here, but Erlang's %s is not on the PATH %s", program, hint)
			}
		}
		return path, nil
	}
	return "", errors.New("no RabbitMQ on this machine " + hint)
}

// runRabbitMQ starts Erlang's port mapper in the foreground before the node,
// which would start one as a daemon that outlives it.
const runRabbitMQ = `epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 &
until epmd -port "$ERL_EPMD_PORT" -names >/dev/null 2>&1; do sleep 0.1; done
exec "$0"`

func prepareRabbitMQ(context.Context) (*recipe, error) {
	path, err := rabbitMQ()
	if err != nil {
		return nil, err
	}
	ports := make([]int, 3) // clients', other nodes', the port mapper's
	for i := range ports {
		if ports[i], err = process.FreePort(); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("", "sluice-rabbitmq-")
	if err != nil {
		return nil, err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", ports[0])
	in := func(name string) string { return filepath.Join(dir, name) }
	return inDir("amqp://guest:guest@"+addr, process.Spec{
		Name: "RabbitMQ", Dir: dir,
		Args: []string{"/bin/sh", "-c", runRabbitMQ, path},
		Env: []string{
			"HOME=" + dir, // the cookie's
			"RABBITMQ_NODENAME=sluice@localhost",
			"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
			fmt.Sprintf("RABBITMQ_NODE_PORT=%d", ports[0]),
			fmt.Sprintf("RABBITMQ_DIST_PORT=%d", ports[1]),
			fmt.Sprintf("ERL_EPMD_PORT=%d", ports[2]),
			"ERL_EPMD_ADDRESS=127.0.0.1",
			"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
			"RABBITMQ_MNESIA_BASE=" + in("mnesia"),
			"RABBITMQ_LOG_BASE=" + in("log"),
			"RABBITMQ_LOGS=-", // the standard output
			"RABBITMQ_CONF_ENV_FILE=" + in("none.conf"),
			"RABBITMQ_CONFIG_FILE=" + in("none"),
			"RABBITMQ_ENABLED_PLUGINS_FILE=" + in("plugins"),
			"RABBITMQ_PID_FILE=" + in("pid"),
		},
		// A method frame answers AMQP's header. RabbitMQ listens when all else has started.
		Healthy: answers(addr, "AMQP\x00\x00\x09\x01", "\x01"),
	}), nil
}
