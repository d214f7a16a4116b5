package sns

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Topics returns a copy of the ARNs. It returns an error if the list is empty or
// an element is not the ARN of an SNS topic.
func Topics(arns []string) ([]string, error) {
	if len(arns) == 0 {
		return nil, errors.New("no topic is declared")
	}
	var faults []error
	for _, arn := range arns {
		if p := strings.Split(arn, ":"); len(p) != 6 || p[0] != "arn" || p[2] != "sns" || p[3] == "" || p[5] == "" {
			faults = append(faults, fmt.Errorf("%q is not the ARN of an SNS topic (arn:aws:sns:REGION:ACCOUNT:NAME)", arn))
		}
	}
	return slices.Clone(arns), errors.Join(faults...)
}
