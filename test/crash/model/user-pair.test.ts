import { describeModel } from './suite.ts';

describeModel('user-pair');
