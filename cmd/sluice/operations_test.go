package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/drivers/sqs/sqstest"
	"github.com/sluice-go/sluice/internal/process"
	"github.com/sluice-go/sluice/internal/test/suite"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

// TestOperations runs the scripts of those who look after queues, on each
// provider that makes queues. In a script $Q is the URL of a queue that does not
// exist yet, for use in a sluice.yaml.
func TestOperations(t *testing.T) {
	t.Parallel()
	for _, p := range []provider{{"sqs", emptySQS}, {"pubsub", emptyPubSub}} {
		if testing.Short() && p.name != "pubsub" {
			continue // as in TestScriptsOnQueues
		}
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			testscript.Run(t, testscript.Params{
				Dir: "testdata/ops", Cmds: commands(), RequireExplicitExec: true,
				Setup: func(e *testscript.Env) error {
					if err := clean(e); err != nil {
						return err
					}
					return p.setup(e)
				},
				Condition: func(name string) (bool, error) {
					switch name {
					case "sqs", "pubsub":
						return name == p.name, nil
					default:
						return false, fmt.Errorf("there is no provider %q", name)
					}
				},
			})
		})
	}
}

// emptySQS starts an SQS server without a queue, for one script.
func emptySQS(e *testscript.Env) error {
	s, err := sqstest.NewServer(&sqstest.Config{PurgeInterval: -1})
	if err != nil {
		return err
	}
	e.Defer(func() { _ = s.Close() })
	awsEnvironment(e.Setenv, s.URL())
	e.Setenv("Q", "awssqs:///orders")
	return nil
}

// emptyPubSub starts a Pub/Sub fake without a topic, for one script.
func emptyPubSub(e *testscript.Env) error {
	s, err := pubsubtest.Start("")
	if err != nil {
		return err
	}
	e.Defer(func() { _ = s.Close() })
	e.Setenv("PUBSUB_EMULATOR_HOST", s.Addr())
	e.Setenv("Q", "gcppubsub://projects/test/subscriptions/orders")
	return nil
}

// TestDev runs the scripts of sluice dev, which brings its own servers. $SQS and
// $PUBSUB are free addresses.
func TestDev(t *testing.T) {
	t.Parallel()
	devScripts(t, "testdata/dev")
}

// TestDevLocalStack has LocalStack installed first: the first time that takes
// longer than a script waits for anything.
func TestDevLocalStack(t *testing.T) {
	t.Parallel()
	suite.Slow(t)
	testserver.Python(t)
	devScripts(t, "testdata/devlocalstack")
}

func devScripts(t *testing.T, dir string) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: dir, Cmds: commands(), RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			if err := clean(e); err != nil {
				return err
			}
			awsEnvironment(e.Setenv, "")
			e.Setenv("HOME", e.WorkDir) // LocalStack keeps notes there
			if os.Getenv("SLUICE_CACHE_DIR") == "" {
				e.Setenv("SLUICE_CACHE_DIR", filepath.Join(cache, "sluice"))
			}
			for _, name := range []string{"SQS", "PUBSUB"} {
				addr, err := process.FreeAddr()
				if err != nil {
					return err
				}
				e.Setenv(name, addr)
			}
			return nil
		},
	})
}
