package testserver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"

	"github.com/sluice-go/sluice/internal/process"
)

var mariaDBKind = &kind{name: "MariaDB", env: EnvMariaDB, prepare: prepareMariaDB}

// MariaDB returns a MariaDB, which speaks MySQL's protocol. Its URL is a data source name
// of github.com/go-sql-driver/mysql that names a new, empty database of the test's own.
func MariaDB(t testing.TB) *Server {
	t.Helper()
	s := mariaDBKind.get(t)
	base := strings.TrimSuffix(s.URL, "/") + "/" // a URL from the environment has none
	db, err := sql.Open("mysql", base)
	if err != nil {
		t.Fatalf("opening MariaDB: %v", err)
	}
	name := Name(t)
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatalf("making a database: %v", err)
	}
	t.Cleanup(func() {
		_, err := db.ExecContext(context.Background(), "DROP DATABASE "+name)
		if err = errors.Join(err, db.Close()); err != nil {
			t.Errorf("removing the database: %v", err)
		}
	})
	one := *s
	one.URL = base + name
	return &one
}

func prepareMariaDB(ctx context.Context) (*recipe, error) {
	server, err := findMariaDB("mariadbd")
	if err != nil {
		return nil, err
	}
	install, err := findMariaDB("mariadb-install-db")
	if err != nil {
		return nil, err
	}
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sluice-mariadb-")
	if err != nil {
		return nil, err
	}
	r, err := initMariaDB(ctx, install, server, dir, port)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return r, nil
}

func initMariaDB(ctx context.Context, install, server, dir string, port int) (*recipe, error) {
	u, err := user.Current()
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	own := []string{"--no-defaults", "--datadir=" + data, "--user=" + u.Username}
	err = process.Run(ctx, process.Spec{Name: "mariadb-install-db", Dir: dir, Args: append([]string{install}, append(own,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")...)})
	if err != nil {
		return nil, err
	}
	dsn := fmt.Sprintf("root@tcp(127.0.0.1:%d)/", port)
	return inDir(dsn, process.Spec{
		Name: "MariaDB", Dir: dir,
		Args: append([]string{server}, append(own, "--bind-address=127.0.0.1", "--port="+strconv.Itoa(port),
			"--socket="+filepath.Join(dir, "s"), "--pid-file="+filepath.Join(dir, "pid"), "--skip-name-resolve",
			"--innodb-flush-log-at-trx-commit=0", "--max-connections=300")...),
		Healthy: func(ctx context.Context) error {
			db, err := sql.Open("mysql", dsn)
			if err != nil {
				return err
			}
			return errors.Join(db.PingContext(ctx), db.Close())
		},
	}), nil
}

// findMariaDB finds a program of MariaDB: where distributions keep servers off the PATH of
// users, then on the PATH.
func findMariaDB(program string) (string, error) {
	if path := "/usr/sbin/" + program; !pathOnly() {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("no MariaDB (%s) on this machine (on Debian and Ubuntu: apt-get install mariadb-server)", program)
}
