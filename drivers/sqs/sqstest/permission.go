package sqstest

import (
	"encoding/json"
	"slices"
)

// one is how a policy shows a list: a list of one as its only member.
func one(list []string) any {
	if len(list) == 1 {
		return list[0]
	}
	return list
}

// ownersOnly are the actions that no policy can give to another account.
var ownersOnly = []string{
	"AddPermission", "CancelMessageMoveTask", "CreateQueue", "DeleteQueue", "ListMessageMoveTasks", "ListQueues", "ListQueueTags",
	"RemovePermission", "SetQueueAttributes", "StartMessageMoveTask", "TagQueue", "UntagQueue",
}

// maxActions is how many actions a statement of AddPermission may name.
const maxActions = 7

// A policyDocument is a Policy attribute as AddPermission and RemovePermission
// edit it. The rest of the policy is unchanged.
type policyDocument map[string]json.RawMessage

func (p policyDocument) statements() []json.RawMessage {
	raw, ok := p["Statement"]
	if !ok {
		return nil
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return []json.RawMessage{raw} // one statement may stand there without an array
	}
	return list
}

func labelOf(statement json.RawMessage) string {
	var head struct{ Sid string }
	if json.Unmarshal(statement, &head) != nil {
		return ""
	}
	return head.Sid
}

// permissionActions change the statements of a queue's policy.
type permissionActions struct {
	*registry
	operations map[string]operation // whose names a statement may have
}

func (s *permissionActions) addPermission(c *call, q *permissionRequest) *apiError {
	switch {
	case q.Label == "":
		return missing("Label")
	case len(q.Actions) == 0:
		return missing("Actions")
	case len(q.AccountIDs) == 0:
		return invalidParameter("Value [] for parameter PrincipalId is invalid. Reason: Unable to verify.")
	case len(q.Actions) > maxActions:
		return fault(codeOverLimit, "%d Actions were found, maximum allowed is %d.", len(q.Actions), maxActions)
	}
	for _, action := range q.Actions {
		if _, ok := s.operations[action]; !ok && action != "*" {
			return invalidParameter("Value SQS:%s for parameter ActionName is invalid. Reason: Please refer to the appropriate WSDL for a list of valid actions.", action)
		}
		if slices.Contains(ownersOnly, action) {
			return invalidParameter("Value SQS:%s for parameter ActionName is invalid. Reason: Only the queue owner is allowed to invoke this action.", action)
		}
	}
	return s.editPolicy(c, q.QueueURL, func(name string, list []json.RawMessage) ([]json.RawMessage, *apiError) {
		if slices.ContainsFunc(list, func(st json.RawMessage) bool { return labelOf(st) == q.Label }) {
			return nil, invalidParameter("Value %s for parameter Label is invalid. Reason: Already exists.", q.Label)
		}
		principals := make([]string, len(q.AccountIDs))
		for i, id := range q.AccountIDs {
			principals[i] = "arn:aws:iam::" + id + ":root"
		}
		actions := make([]string, len(q.Actions))
		for i, a := range q.Actions {
			actions[i] = "SQS:" + a
		}
		statement, err := json.Marshal(map[string]any{
			"Sid": q.Label, "Effect": "Allow", "Principal": map[string]any{"AWS": one(principals)},
			"Action": one(actions), "Resource": s.queueARN(name),
		})
		if err != nil {
			return nil, fault(codeInternalFailure, "%v", err)
		}
		return append(list, statement), nil
	})
}

func (s *permissionActions) removePermission(c *call, q *permissionRequest) *apiError {
	if q.Label == "" {
		return missing("Label")
	}
	return s.editPolicy(c, q.QueueURL, func(_ string, list []json.RawMessage) ([]json.RawMessage, *apiError) {
		n := len(list)
		list = slices.DeleteFunc(list, func(st json.RawMessage) bool { return labelOf(st) == q.Label })
		if len(list) == n {
			return nil, invalidParameter("Value %s for parameter Label is invalid. Reason: can't find label.", q.Label)
		}
		return list, nil
	})
}

// editPolicy replaces the statements of a queue's policy; with none left, the
// policy goes.
func (s *permissionActions) editPolicy(c *call, url string, edit func(name string, list []json.RawMessage) ([]json.RawMessage, *apiError)) *apiError {
	return s.change(c, url, func(old *settings) (*settings, *apiError) {
		document := policyDocument{}
		if text := old.attributes[attrPolicy]; text != "" {
			if err := json.Unmarshal([]byte(text), &document); err != nil {
				return nil, fault(codeInternalFailure, "the policy of %s cannot be read: %v", old.name, err)
			}
		} else {
			document["Version"] = json.RawMessage(`"2008-10-17"`)
			document["Id"] = json.RawMessage(`"` + s.queueARN(old.name) + `/SQSDefaultPolicy"`)
		}
		list, bad := edit(old.name, document.statements())
		if bad != nil {
			return nil, bad
		}
		var text []byte
		if len(list) > 0 {
			raw, err := json.Marshal(list)
			if err != nil {
				return nil, fault(codeInternalFailure, "%v", err)
			}
			document["Statement"] = raw
			if text, err = json.Marshal(document); err != nil {
				return nil, fault(codeInternalFailure, "%v", err)
			}
		}
		return old.with(map[string]string{attrPolicy: string(text)}, s.cfg.Clock.Now())
	})
}
