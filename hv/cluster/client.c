#include "hv/cluster/client.h"
#include "hv/cluster/remote.h"
#include "hv/cluster/share.h"

/* NODE_DSM looks at its length itself: it is the one that may carry a page. */
static const struct link_handler messages[NODE_KINDS] = {
	[NODE_CONFIG] = {remote_config, sizeof(struct node_config), false},
	[NODE_READY] = {remote_ready, sizeof(struct node_ready), false},
	[NODE_STOPPED] = {remote_stopped, sizeof(struct node_stopped), false},
	[NODE_DSM] = {share_message, 0, true},
	[NODE_IPI] = {remote_ipi, sizeof(struct node_ipi), false},
	[NODE_UNHALT] = {remote_unhalted, sizeof(struct node_unhalt), false},
	[NODE_DEST] = {remote_dest, sizeof(struct node_dest), false},
	[NODE_DEST_OK] = {remote_dest_ok, sizeof(struct node_dest), false},
	[NODE_EOI] = {remote_eoi_came, sizeof(struct node_eoi), false},
	[NODE_IO] = {remote_io_asked, sizeof(struct node_io), false},
	[NODE_IO_DONE] = {remote_io_done, sizeof(struct node_io), false},
};

const struct link_client cluster_client = {
	.messages = messages,
	.tick = share_tick,
	.deadline = share_deadline,
	.lost = share_lost,
	.sync = share_sync,
};
