package outbox_test

import (
	"os"
	"testing"

	"github.com/sluice-go/sluice/internal/test/suite"
)

// The slow suites have few tests at a time: they share one MariaDB with other packages, and
// under the race detector sixteen at a time wait for its locks longer than a receive may.
func TestMain(m *testing.M) {
	if suite.Asked() {
		os.Exit(m.Run())
	}
	os.Exit(suite.Run(m))
}
