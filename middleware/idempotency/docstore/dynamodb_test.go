package docstore_test

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"
	"gocloud.dev/docstore/awsdynamodb/v2"

	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/internal/test/testserver/dynamotable"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/docstore"
	"github.com/sluice-go/sluice/middleware/idempotency/storetest"
)

func TestDynamoDBConforms(t *testing.T) {
	table, client := dynamotable.New(t, testserver.DynamoDB(t).URL)
	t.Cleanup(func() {
		_, err := client.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &table})
		require.NoError(t, err)
	})
	t.Run("rules", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) idempotency.Store {
			c, err := awsdynamodb.OpenCollection(client, table, docstore.KeyField, "", &awsdynamodb.Options{ConsistentRead: true})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, c.Close()) })
			s, err := docstore.New(c)
			require.NoError(t, err)
			return s
		})
	})
}
