package watermill_test

import (
	"os"
	"testing"

	"github.com/sluice-go/sluice/internal/test/suite"
)

func TestMain(m *testing.M) { os.Exit(suite.Run(m)) }
