package testserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/sluice-go/sluice/internal/process"
)

var postgresKind = &kind{name: "PostgreSQL", env: EnvPostgres, prepare: preparePostgres("off")}

// syncedPostgresKind waits for the disk at each commit, as a database in
// production does.
var syncedPostgresKind = &kind{name: "PostgreSQL", env: "SLUICE_SYNCED_POSTGRES_URL", prepare: preparePostgres("on")}

// Postgres returns a PostgreSQL whose URL names a new, empty database of the
// test's own.
func Postgres(t testing.TB) *Server {
	t.Helper()
	return database(t, postgresKind.get(t))
}

// OwnPostgres returns a PostgreSQL of the test's own. It keeps its data when it
// is stopped and started.
func OwnPostgres(t testing.TB) *Server {
	t.Helper()
	return database(t, postgresKind.own(t))
}

// database makes a database for the test and has the server's URL name it.
func database(t testing.TB, s *Server) *Server {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatalf("the URL of PostgreSQL: %v", err)
	}
	psql, err := findPostgres("psql")
	if err != nil {
		unavailable(t, "PostgreSQL", err)
	}
	name := Name(t)
	if err := query(t.Context(), psql, s.URL, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("making a database: %v", err)
	}
	if s.start == nil { // the data of one's own go with it
		admin := s.URL
		t.Cleanup(func() {
			if err := query(context.Background(), psql, admin, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
				t.Errorf("removing the database: %v", err)
			}
		})
		one := *s
		s = &one
	}
	u.Path = "/" + name
	s.URL = u.String()
	return s
}

func query(ctx context.Context, psql, db, q string) error {
	cmd := exec.CommandContext(ctx, psql, "--no-psqlrc", "--quiet", "--dbname", db, "--command", q)
	cmd.Dir = "/"
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// findPostgres finds a program of PostgreSQL: where distributions keep them off
// the PATH, newest version first, then on the PATH.
func findPostgres(program string) (string, error) {
	beside := []string{"/usr/lib/postgresql/*/bin/", "/usr/pgsql-*/bin/", "/opt/homebrew/opt/postgresql*/bin/", "/usr/local/opt/postgresql*/bin/"}
	if pathOnly() {
		beside = nil
	}
	for _, pattern := range beside {
		found, err := filepath.Glob(pattern + program)
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			return slices.Max(found), nil
		}
	}
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("no PostgreSQL (%s) on this machine (on Debian and Ubuntu: apt-get install postgresql)", program)
}

// superuser is the database's superuser, whoever runs the tests.
const superuser = "postgres"

func preparePostgres(fsync string) func(context.Context) (*recipe, error) {
	return func(ctx context.Context) (*recipe, error) {
		initdb, err := findPostgres("initdb")
		if err != nil {
			return nil, err
		}
		server, err := findPostgres("postgres")
		if err != nil {
			return nil, err
		}
		port, err := process.FreePort()
		if err != nil {
			return nil, err
		}
		dir, err := os.MkdirTemp("", "sluice-postgres-")
		if err != nil {
			return nil, err
		}
		r, err := initPostgres(ctx, initdb, server, dir, port, fsync)
		if err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
		return r, nil
	}
}

func initPostgres(ctx context.Context, initdb, server, dir string, port int, fsync string) (*recipe, error) {
	// PostgreSQL refuses to run as root.
	as := ""
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			if u, err = user.Lookup("nobody"); err != nil {
				return nil, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody")
			}
		}
		as = u.Username
		uid, uerr := strconv.Atoi(u.Uid)
		gid, gerr := strconv.Atoi(u.Gid)
		if err := errors.Join(uerr, gerr, os.Chown(dir, uid, gid)); err != nil {
			return nil, err
		}
	}
	data := filepath.Join(dir, "data")
	err := process.Run(ctx, process.Spec{Name: "initdb", Dir: dir, User: as,
		Args: []string{initdb, "--pgdata", data, "--username", superuser, "--auth", "trust", "--no-sync", "--encoding", "UTF8", "--locale", "C"}})
	if err != nil {
		return nil, err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	return inDir(fmt.Sprintf("postgres://%s@%s/postgres?sslmode=disable", superuser, addr), process.Spec{
		Name: "PostgreSQL", Dir: dir, User: as, Interrupt: true,
		Args: []string{server, "-D", data, "-h", "127.0.0.1", "-p", fmt.Sprint(port), "-k", dir,
			"-c", "fsync=" + fsync, "-c", "max_connections=200"},
		Healthy: func(ctx context.Context) error {
			psql, err := findPostgres("psql")
			if err != nil {
				return err
			}
			return query(ctx, psql, fmt.Sprintf("postgres://%s@%s/postgres?sslmode=disable", superuser, addr), "SELECT 1")
		},
	}), nil
}
