package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

func kinds() map[string]*kind {
	return map[string]*kind{
		"localstack": localStackKind, "elasticmq": elasticMQKind, "dynamodb": dynamoDBKind,
		"redis": redisKind, "postgres": postgresKind, "rabbitmq": rabbitMQKind,
		"mariadb":         mariaDBKind,
		"postgres-synced": syncedPostgresKind,
	}
}

// Kinds lists the servers that tests need. [Launch] also starts "postgres-synced",
// whose commits wait for the disk, for benchmarks.
func Kinds() []string {
	return []string{"localstack", "elasticmq", "redis", "postgres", "mariadb", "dynamodb", "rabbitmq"}
}

// Launched is a server that was started outside of any test.
type Launched struct {
	URL   string
	close func() error
}

// Close ends the server and removes what it left.
func (l *Launched) Close() error { return l.close() }

// Launch starts the named kind of server, and returns the environment variable by
// which tests find it.
func Launch(ctx context.Context, name string) (l *Launched, env string, err error) {
	k := kinds()[name]
	if k == nil {
		return nil, "", fmt.Errorf("no such server; there are %s", strings.Join(slices.Sorted(slices.Values(Kinds())), ", "))
	}
	s, r, err := k.launch(ctx, 0)
	if err != nil {
		return nil, "", err
	}
	return &Launched{URL: s.URL, close: func() error { return errors.Join(s.stop(), r.remove()) }}, k.env, nil
}

// Has reports whether a server of the named kind can be had without installing
// anything: the environment names one, or its program is on this machine.
func Has(name string) bool {
	k := kinds()[name]
	if k == nil {
		return false
	}
	if os.Getenv(k.env) != "" {
		return true
	}
	var err error
	switch name {
	case "redis":
		_, err = exec.LookPath("redis-server")
	case "postgres":
		_, err = findPostgres("postgres")
	case "mariadb":
		_, err = findMariaDB("mariadbd")
	default:
		return false
	}
	return err == nil
}
