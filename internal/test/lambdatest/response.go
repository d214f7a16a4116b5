package lambdatest

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Failures reads which of a batch's messages a response reports as failed, by the
// conditions of
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting:
// null, an empty object and an empty or null list are the success of the whole
// batch. An error is the failure of the whole batch: a body that is not JSON, and an
// identifier that is empty, null, missing or of no message of the batch.
func Failures(response []byte, batch []string) (map[string]bool, error) {
	var r *struct {
		Failures []map[string]any `json:"batchItemFailures"`
	}
	if err := json.Unmarshal(response, &r); err != nil {
		return nil, fmt.Errorf("the response is no JSON of the right form: %w", err)
	}
	failed := map[string]bool{}
	if r == nil {
		return failed, nil
	}
	known := make(map[string]bool, len(batch))
	for _, id := range batch {
		known[id] = true
	}
	for _, f := range r.Failures {
		id, ok := f["itemIdentifier"].(string)
		switch {
		case !ok:
			return nil, errors.New("a failure without itemIdentifier")
		case id == "":
			return nil, errors.New("a failure with an empty itemIdentifier")
		case !known[id]:
			return nil, fmt.Errorf("the itemIdentifier %q is of no message of the batch", id)
		}
		failed[id] = true
	}
	return failed, nil
}
