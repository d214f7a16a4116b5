package middleware_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/sluice-go/sluice/drivers/pubsub/pubsubtest"
	"github.com/sluice-go/sluice/internal/test/suite"
)

// fake is the Pub/Sub that the environment names. Tests share it, each with queues
// of its own.
var fake *pubsubtest.Server

func TestMain(m *testing.M) { os.Exit(withFake(m)) }

func withFake(m *testing.M) int {
	var err error
	if fake, err = pubsubtest.Start(""); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = fake.Close() }()
	if err := os.Setenv("PUBSUB_EMULATOR_HOST", fake.Addr()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return suite.Run(m)
}
