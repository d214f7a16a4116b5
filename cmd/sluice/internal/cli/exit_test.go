package cli

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestJoinedErrorsAreReportedApart(t *testing.T) {
	t.Parallel()
	one, two, three := errors.New("one"), errors.New("two"), errors.New("three")
	both := fmt.Errorf("at %w and at %w", one, two)
	for name, c := range map[string]struct {
		err  error
		want []error
	}{
		"one":                       {one, []error{one}},
		"joined":                    {errors.Join(one, errors.Join(two, three)), []error{one, two, three}},
		"a fault of usage":          {&usageError{errors.Join(one, two)}, []error{one, two}},
		"with a message of its own": {both, []error{both}},
		"findings":                  {errFindings, nil},
		"findings and a late fault": {errors.Join(errFindings, one), []error{one}},
	} {
		require.Equal(t, c.want, apart(c.err), name)
	}
}
