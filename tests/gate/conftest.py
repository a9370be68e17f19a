from stacks.toolchain import find_node

find_node()
