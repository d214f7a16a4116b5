package sqstest

const (
	maxEntries = 10
	maxEntryID = 80
)

// checkEntries checks what holds for every batch of an action: that it has 1 to 10
// entries with well-formed IDs, each once.
func checkEntries(action string, n int, id func(i int) string) *apiError {
	if n == 0 {
		return fault(codeEmptyBatchRequest, "There should be at least one %sBatchRequestEntry in the request.", action)
	}
	if n > maxEntries {
		return fault(codeTooManyEntriesInBatchRequest, "Maximum number of entries per request are %d. You have sent %d.", maxEntries, n)
	}
	for i := range n {
		if !validEntryID(id(i)) {
			return plain(codeInvalidBatchEntryID)
		}
	}
	for i := range n {
		for j := range i {
			if id(i) == id(j) {
				return fault(codeBatchEntryIdsNotDistinct, "Id %s repeated.", id(i))
			}
		}
	}
	return nil
}

func validEntryID(id string) bool {
	if id == "" || len(id) > maxEntryID {
		return false
	}
	for i := range len(id) {
		if !isWord(id[i]) {
			return false
		}
	}
	return true
}

// writeBatch writes the answer to a batch: success writes what a successful
// entry has besides its Id.
func writeBatch(c *call, n int, id func(i int) string, errs []*apiError, success func(i int)) {
	failed := 0
	for _, err := range errs {
		if err != nil {
			failed++
		}
	}
	w := &c.out
	w.open('{')
	if failed < n {
		w.key("Successful")
		w.open('[')
		for i := range n {
			if errs[i] == nil {
				w.open('{')
				w.member("Id", id(i))
				if success != nil {
					success(i)
				}
				w.close('}')
			}
		}
		w.close(']')
	}
	if failed > 0 {
		w.key("Failed")
		w.open('[')
		for i := range n {
			if errs[i] != nil {
				errs[i].writeEntry(w, id(i))
			}
		}
		w.close(']')
	}
	w.close('}')
}
